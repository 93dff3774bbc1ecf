"""Stands before the real rfc3987_syntax where the tests start Jupyter's own programs.

jsonschema does without it, and importing it takes two seconds of a processor, most of what a server takes to start.
"""

raise ImportError("rfc3987_syntax is hidden from what the tests start")
