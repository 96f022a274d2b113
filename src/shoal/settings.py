"""Settings: the documented knobs of one deployment, validated at the border."""
