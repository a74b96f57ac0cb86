# The simulated dyestuff whose batches vary less than chance (lme4): the permanently singular case.
source("../peers.R")
data <- case_data("lme4", "Dyestuff2", groups = list(Batch = inside()))
save_case(data, list(
  ml = peer(data, "Yield ~ 1 + (1 | Batch)", reml = FALSE),
  reml = peer(data, "Yield ~ 1 + (1 | Batch)")
))
