mod mistakes;
mod shipped;
