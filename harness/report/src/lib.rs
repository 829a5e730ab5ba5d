//! The run's result as terminal text, JUnit and JSON.
