//! Real cells at every level: what a program sees and reaches in one, how it ends, and that nothing of it stays.

mod ends;
mod processes;
mod reaches;
mod sees;
mod speed;
mod wardens;
mod world;
