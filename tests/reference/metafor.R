# What rma of metafor says of group summaries with known standard errors.
control <- list(threshold = 1e-12, maxiter = 1000, stepadj = 0.5)
peer <- function(d, group, y, se, model) {
  fit <- rma(yi = d[[y]], sei = d[[se]], mods = model[[1]], data = d, method = model[[2]], control = control)
  X <- model.matrix(model[[1]], d)
  shrunken <- blup(fit)
  names <- colnames(X)
  d$unit <- seq_len(nrow(d))
  d$v <- d[[se]]^2
  d$outcome <- d[[y]]
  levels <- rma.mv(outcome, v, mods = model[[1]], random = ~ 1 | unit, data = d, method = model[[2]],
                   control = list(rel.tol = 1e-8))
  limits <- confint(levels, control = list(vc.max = 1e4))$random["sigma", ]  # by profile likelihood
  list(
    formula = paste(y, "~", paste(c("1", setdiff(names, "(Intercept)")), collapse = " + "), "+ (1 |", paste0(group, ")")),
    reml = model[[2]] == "REML", names = I(names), beta = I(as.numeric(fit$beta)), std_error = I(fit$se),
    tau = sqrt(fit$tau2), tau_lower = limits[["ci.lb"]], tau_upper = limits[["ci.ub"]], labels = I(as.character(d[[group]])), blup = shrunken$pred, blup_se = shrunken$se,
    # the restricted likelihood of metafor holds + log|X'X| / 2, ours and lme4's does not
    log_likelihood = as.numeric(logLik(fit)) - if (model[[2]] == "REML") as.numeric(determinant(crossprod(X))$modulus) / 2 else 0
  )
}
save_case <- function(d, group, y, se, models) {
  said <- lapply(models, function(model) peer(d, group, y, se, model))
  about <- list(group = group, outcome = y, sampling_error = se)
  write_json(list(summaries = about, fits = said), "expected.json", digits = I(15), auto_unbox = TRUE, pretty = TRUE)
  writeLines(capture.output(sessionInfo()), "session.txt")
}
