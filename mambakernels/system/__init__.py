"""The system underneath: processes, background threads, files, locks, credentials, and what can be reached."""
