"""The leak scanner: every file of a release, looked at for whatever gives the source away."""
