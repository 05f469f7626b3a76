"""A baseline scientist behind the `Backbone` protocol: experiments, statistics and a dictionary, no language model."""
