"""The JSON API, version 1: what an OA or a messenger needs whose mail module is only a front end."""
