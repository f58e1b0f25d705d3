//! tests/bitbucket-sim.
