//! Agents of others, run as the product runs them: cell, proxy, conversation, kill. The agents are stand-ins that do on
//! purpose what real ones do wrong.

mod acp;
mod command;
mod levels;
mod missing;
mod world;
