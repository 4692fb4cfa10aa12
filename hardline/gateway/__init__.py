"""Services for plain browsers, under the names that the owner of this node gives them."""
