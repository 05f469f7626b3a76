"""What authors of sandboxes test theirs with: the conformance suite and the hostile programs."""
