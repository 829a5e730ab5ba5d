//! Compares outcomes and trees of the arms; holds the table of legitimate differences.
