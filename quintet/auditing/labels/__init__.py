"""Labels that are probably wrong, from predictions of clips that the members were not fitted on."""
