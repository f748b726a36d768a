"""The libraries we could use instead, made comparable: same problem, same marginal error, one thread."""
