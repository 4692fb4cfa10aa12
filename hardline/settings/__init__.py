"""Settings: INI files, what their keys mean, and the directory of services."""
