"""Predicted classes against gold ones (`confusion`) and the area under the ROC curve (`auc`)."""
