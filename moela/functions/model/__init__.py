"""The model of a plain function: variables, designs, outputs, and the pymoo problem of them."""
