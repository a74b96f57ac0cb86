"""Reading, validating and preparing data: from a file to a Dataset."""
