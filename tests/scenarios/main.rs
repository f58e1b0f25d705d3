//! Scenarios: what people and servers do, and what people see. One binary; run one with `./dev scenario <name>`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../architecture.rs"]
mod architecture;

mod archived;
mod bad_input;
mod bitbucket_fails;
mod bitbucket_refuses;
mod branch_moves;
mod branch_names;
mod build_status;
mod closed;
mod coding_agents;
mod deliveries;
mod dev_script;
mod documented;
mod every_refusal;
mod evil_agent;
mod floods;
mod forks;
mod git_silent;
mod handing_back;
mod leaving_nothing;
mod limits;
mod looking_in;
mod meanwhile;
mod model_fails;
mod names_given_again;
mod nats_away;
mod nats_cluster;
mod option_commits;
mod option_new_pr;
mod option_suggest;
mod options;
mod own_ca;
mod plug_pulled;
mod plug_pulled_verbs;
mod poison_message;
mod promises;
mod refusals;
mod repository_says;
mod resolve_happy;
mod resolve_order;
mod rights_lost;
mod sandbox_fails;
mod sandbox_weaker;
mod secrets;
mod soak;
mod starting_and_stopping;
mod stop_late;
mod stop_order;
mod token_expires;
mod traces;
mod verb_address;
mod verb_ask;
mod verb_continue;
mod verb_controls;
mod verb_describe;
mod verb_plan;
mod verb_queries;
mod verb_review;
mod verb_undo;
mod verb_update;
mod verbs;
