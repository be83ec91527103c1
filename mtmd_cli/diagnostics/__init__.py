"""What the hardware does with a model: operators, memory, devices. The layers below do not know that they are seen."""
