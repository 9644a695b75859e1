"""What each defence costs: two engines that differ in one switch, loaded in turns."""
