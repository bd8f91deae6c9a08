"""What readers of campaigns touch: pixel, links, the ways out, preferences, the mail as a page."""
