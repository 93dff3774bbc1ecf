"""The system underneath: processes, files, locks, credentials, and what can be reached."""
