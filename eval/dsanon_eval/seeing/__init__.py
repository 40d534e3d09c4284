"""What is looked at: faces of originals, releases and controls, and what every instrument sees in them."""
