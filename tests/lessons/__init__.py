"""What went wrong in other systems of this kind, one test for each."""
