"""What is measured of an app for its page in the catalogue, and rating it: pages and API."""
