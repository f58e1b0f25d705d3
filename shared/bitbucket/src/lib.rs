//! shared/bitbucket.
