"""Who calls: nodes by signed requests, operators by tokens."""
