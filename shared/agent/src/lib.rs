//! shared/agent.
