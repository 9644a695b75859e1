"""What a locustfile drives a load with. It imports Locust: only a locustfile imports it."""
