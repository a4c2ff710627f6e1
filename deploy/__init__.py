"""What runs adtally: a cluster on one machine, and files for operators."""
