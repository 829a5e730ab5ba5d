mod answers;
mod mistakes;
mod shipped;
