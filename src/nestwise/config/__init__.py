"""The study file and the configuration: frozen records, read strictly."""
