"""Studies of a trained model: ablation, faithfulness of explanations, simulated populations."""
