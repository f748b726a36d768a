"""Jobs: the same selkd command on this machine, on a Ray cluster, or on Kubernetes."""
