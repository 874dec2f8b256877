"""`parley load`: calls a running service by a schedule, and reports what its callers see.

Open loop is the rule: calls begin when the schedule says, whether earlier ones are answered or not. Knows the
service as a caller does, by its URL and a key; the package reads no database.
"""
