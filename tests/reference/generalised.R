# What the cases of generalised linear mixed models share. A case's make.R sources this file after peers.R and
# is run in its own folder:  cd cbpp && Rscript make.R
suppressPackageStartupMessages(library(glmmTMB))

exact <- function(settled) glmerControl(
  optimizer = "bobyqa", calc.derivs = FALSE, tolPwrss = settled,
  optCtrl = list(rhobeg = 0.05, rhoend = 1e-9, maxfun = 100000)
)

# glmer with a number of quadrature points; the optimum is polished by further searches from its end.
# `settled` is how far its modes are iterated; where a step fails, less far. Its log-likelihood with several points leaves constants out, so that it is kept with one point only.
by_glmer <- function(data, formula, family, points = 1, settled = 1e-13) {
  link <- family$link
  fit <- glmer(as.formula(formula), data$frame, family, nAGQ = points, control = exact(settled))
  for (again in 1:3) fit <- update(fit, start = getME(fit, c("theta", "fixef")))
  covariance <- variances_glmm(VarCorr(fit))
  hessian <- as.matrix(vcov(update(fit, control = glmerControl(tolPwrss = settled))))
  record(formula, family$family, link, points, "lme4::glmer", covariance,
    fixed = fixef(fit), std_error = sqrt(diag(hessian)),
    log_likelihood = if (points == 1) as.numeric(logLik(fit)) else NULL,
    modes = ranef(fit)[[1]], formula_of_data = formula
  )
}

by_glmmtmb <- function(data, formula, family, name = family$family, start = NULL) {
  control <- glmmTMBControl(optCtrl = list(rel.tol = 1e-14, x.tol = 1e-12, eval.max = 5000, iter.max = 5000))
  fit <- glmmTMB(as.formula(formula), data$frame, family, control = control, start = start)
  covariance <- variances_glmm(VarCorr(fit)$cond)
  estimated <- summary(fit)$coefficients$cond
  dispersion <- switch(name,
    nbinom2 = list(size = sigma(fit)), Gamma = list(shape = 1 / sigma(fit)^2), NULL)
  record(formula, name, family$link, 1, "glmmTMB", covariance,
    fixed = fixef(fit)$cond, std_error = estimated[, "Std. Error"],
    log_likelihood = as.numeric(logLik(fit)), dispersion = dispersion,
    modes = ranef(fit)$cond[[1]], formula_of_data = formula
  )
}

by_clmm <- function(data, formula, link = "logit", points = 1) {
  control <- ordinal::clmm.control(method = "nlminb", gradTol = 1e-7, maxIter = 500)
  fit <- ordinal::clmm(as.formula(formula), data$frame, link = link, nAGQ = points, Hess = TRUE, control = control)
  covariance <- list(sd = unlist(lapply(ordinal::VarCorr(fit), function(v) attr(v, "stddev"))), cor = list())
  names(covariance$sd) <- "(Intercept)"
  estimated <- summary(fit)$coefficients
  record(formula, "ordinal", link, points, "ordinal::clmm", covariance,
    fixed = coef(fit), std_error = estimated[, "Std. Error"],
    log_likelihood = as.numeric(logLik(fit)), modes = NULL, formula_of_data = formula
  )
}

variances_glmm <- function(varcorr) {
  matrices <- unclass(varcorr)
  sd <- unlist(lapply(unname(matrices), function(v) attr(v, "stddev")))
  group <- rep(names(matrices), vapply(matrices, nrow, 1L))
  cor <- unlist(lapply(unname(matrices), function(v) {
    r <- attr(v, "correlation")
    r[lower.tri(r)]
  }))
  list(sd = sd, cor = as.list(cor), group = group)
}

record <- function(formula, family, link, points, program, covariance, fixed, std_error,
                   log_likelihood, modes, dispersion = NULL, formula_of_data) {
  first <- if (is.null(modes)) NULL else list(
    label = head(rownames(modes), 5), term = names(modes), value = unname(as.matrix(head(modes, 5)))
  )
  list(
    formula = formula_of_data, family = family, link = link, points = points, program = program,
    fixed = list(term = names(fixed), estimate = unname(fixed), std_error = unname(std_error)),
    sd = list(group = covariance$group, term = names(covariance$sd), estimate = unname(covariance$sd)), cor = covariance$cor,
    dispersion = dispersion, log_likelihood = log_likelihood, modes = first
  )
}

save_generalised <- function(data, fits) {
  writeLines(toJSON(list(data = data$about, generalised = fits),
    auto_unbox = TRUE, digits = 12, pretty = TRUE, null = "null"
  ), "expected.json")
  sink("session.txt")
  print(sessionInfo())
  sink()
}
