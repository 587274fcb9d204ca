"""NoamRosenberg/autodeeplab without activated batch norms, `use_ABN` off."""
