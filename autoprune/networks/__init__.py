"""Networks: built, loaded, checked, executed, scored and saved."""
