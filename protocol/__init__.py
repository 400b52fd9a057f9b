"""Everything that a client can see on the wire: values, rules and dialects, without any I/O."""
