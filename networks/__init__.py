"""What is computed: the networks of each system, and the rules they learn by."""
