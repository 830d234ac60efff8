"""Trained runs compared: arms, controls, answers, diagnosis, and the page that shows them."""
