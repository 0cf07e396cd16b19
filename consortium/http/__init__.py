"""The REST API: routes declared beside their subjects, one way in and one way out for all of them."""
