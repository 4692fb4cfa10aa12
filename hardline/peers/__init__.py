"""What is known of others: the routes that worked."""
