"""What is on disk: names of files, how they are written, and what they must hold."""
