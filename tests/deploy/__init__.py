"""What deploy/ ships, read by other people's tools and run as far as this machine can."""
