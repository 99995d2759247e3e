"""What all HTTP clients of hoopjump do alike."""
