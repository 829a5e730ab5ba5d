mod answers;
mod loads;
mod mistakes;
mod shipped;
