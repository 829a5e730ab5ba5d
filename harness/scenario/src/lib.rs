//! Scenario files: TOML in, a plan of cases out.
