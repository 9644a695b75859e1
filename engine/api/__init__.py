"""HTTP: routes, request bodies, problem details."""
